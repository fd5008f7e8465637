"""Pictures, videos and cameras to ages and genders, by a network that `featx finetune` wrote."""
