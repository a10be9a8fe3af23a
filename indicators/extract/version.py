"""Which build of the extractor this is: an officer signs for each that it is the published one."""

VERSION = "1.0.0"
