"""Ready-made graders, one a file, by the kind that a task file names."""
