"""The claims, a module for each subject."""
