"""Write texts, files and figures: printable names, quotes for shells, files that are never half written."""
