"""The parts of FIPO's reports: documents of one HTML file, with figures, tables, changed texts and a list.

A page is a template that extends document.html.j2, beside the module that computes what it shows.
"""
