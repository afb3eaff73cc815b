"""Count what attention costs in parameters and multiply-adds, and find plain networks of the same cost."""
