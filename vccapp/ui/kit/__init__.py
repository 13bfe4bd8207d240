"""What every page shares: frame, cached loaders, tables, forms, charts, jobs, downloads."""
