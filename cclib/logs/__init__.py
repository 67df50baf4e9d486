"""What others recorded of models: logs of lm-evaluation-harness, leaderboards' details, published answers."""
