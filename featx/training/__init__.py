"""Fine-tuning: one stage, a cascade of them, and what they are made of."""
