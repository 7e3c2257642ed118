"""What is measured and checked of the examples of a task."""
