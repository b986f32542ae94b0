"""Traces: measured devices and times of availability, read from tables."""
