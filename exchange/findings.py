"""What a run says becomes STIX, contributed by the exchange as any contribution."""
