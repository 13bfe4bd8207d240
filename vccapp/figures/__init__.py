"""Figures: a frame in, an Altair chart out. No Streamlit, no files, no group-by on cells beyond what a chart bins.

Colours are of Okabe and Ito; where two kinds meet, shape or position tells them apart as well.
"""
