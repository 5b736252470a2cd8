"""What is to be found out."""

BASAL = 6.3  # mN
TOP = 71.8  # mN
EC50 = 3.7e-8  # mol/L
HILL = 3.1
KB = 2.3e-7  # mol/L
