"""Confidence-driven cascades of language models, measured."""
