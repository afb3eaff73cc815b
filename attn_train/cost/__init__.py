"""What attention costs: parameters and multiply-adds counted, plain networks of the same cost."""
