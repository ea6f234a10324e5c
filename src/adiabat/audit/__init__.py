"""Is this potential fit for use? A first look at symmetry, forces and energy conservation."""

from adiabat.audit.audit import AuditReport, Finding, audit

__all__ = ["AuditReport", "Finding", "audit"]
