"""Texts, files and figures as people, shells and disks need them: names as text, quotes, files whole or not there."""
