"""What FIPO's reports are made of: documents of one HTML file, their figures and tables, changed texts, and a list."""
