"""Where a fine-tuned network looks: attention, feature maps, and what speaks for an answer."""
