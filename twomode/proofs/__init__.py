"""Instances of the theorems, proved by ball arithmetic."""

from twomode.proofs.balls import Between
from twomode.proofs.boxes import Box, provable_box
from twomode.proofs.certificates import Certificate, Claim
from twomode.proofs.horizon import PrecisionHorizon, precision_horizon
from twomode.proofs.instances import Instance
from twomode.proofs.on_cards import prove_card
from twomode.proofs.proving import certify, verify_certificate

__all__ = [
    "Between",
    "Box",
    "Certificate",
    "Claim",
    "Instance",
    "PrecisionHorizon",
    "certify",
    "precision_horizon",
    "provable_box",
    "prove_card",
    "verify_certificate",
]
