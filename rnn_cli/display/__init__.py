"""What people see: text, progress and tables. The only place that imports rich."""
