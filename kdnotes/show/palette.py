"""The course's colours."""

# Okabe and Ito's palette, distinguishable with every common colour blindness.
COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#F0E442", "#000000")
# What is only there to compare with; seen on white and on black.
GREY = "#8a8a8a"
