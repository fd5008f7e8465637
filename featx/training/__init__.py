"""Fine-tuning: one stage, a cascade of them, and what they are made of.

`cascade` trains the stages of a file (`config`), each by `stage` and `loop`, on `images`;
`search` tries values for what a file leaves open; `planning`, `probing` and `budget` tell
beforehand what it will take.
"""
