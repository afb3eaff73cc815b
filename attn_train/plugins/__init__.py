"""Mechanisms and networks of a person's own: code that a command line names, or that is installed, made to fit."""
