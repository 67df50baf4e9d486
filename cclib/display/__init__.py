"""One style for all tables, figures and sentences."""
