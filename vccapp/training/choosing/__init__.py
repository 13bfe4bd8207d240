"""What helps to choose a training: presets, what each model did elsewhere and here, which vectors cover the data."""
