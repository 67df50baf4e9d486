"""The chapters' experiments: what is measured on a study, as plain numeric tables."""
