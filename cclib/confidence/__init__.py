"""How sure a model is: one pass over packed prompts, P(T) and P(IK), and written answers."""
