"""The guide's scripts: thin front-ends of the commands, with the guide's options and words."""
