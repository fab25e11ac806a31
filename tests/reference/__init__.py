"""Independent oracles: nothing here imports the project."""
