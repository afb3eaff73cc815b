"""Controls: plain networks made wider until they cost what attention costs, so that a gain is not one of mere size."""
