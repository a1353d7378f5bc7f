"""Instances of the theorems, proved by ball arithmetic."""

from twomode.proofs.balls import Between
from twomode.proofs.certificates import Certificate, Claim
from twomode.proofs.instances import Instance
from twomode.proofs.proving import certify, verify_certificate

__all__ = ["Between", "Certificate", "Claim", "Instance", "certify", "verify_certificate"]
