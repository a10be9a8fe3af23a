"""What one version of a policy loosens and tightens against another."""
