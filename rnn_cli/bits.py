"""Losses are in nats everywhere, and shown in bits."""

import math

BITS_PER_NAT = 1 / math.log(2)
