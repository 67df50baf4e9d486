"""Executing and publishing the book; no number depends on it."""
