"""The statistics lane: figures on a fixed schedule, suppressed unless every rule holds."""
