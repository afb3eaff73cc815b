"""Write the folder of a run, and read it."""
