"""The words and codes of the help, in the order in which a newcomer meets them."""

SCOPES = (
    ("taxii-read", "Pull over TAXII"),
    ("taxii-write", "Contribute over TAXII"),
    ("api-read", "Read over REST"),
    ("api-write", "Contribute over REST"),
    ("ledger-read", "Read openings of ledger entries"),
    ("tokens", "Turn own values into tokens"),
)
WORDS = (
    ("member", "An organisation in the forum."),
    ("contribution", "What one member submits at one time, addressed to one circle."),
    ("original", "The bytes of one object as contributed. They stay sealed with the contributor."),
    ("floor", "The forum's policy. Its antitrust counsel owns it; no member can loosen it."),
    ("member policy", "A contributor's own terms. It can only tighten the floor."),
    ("verdict", "A treatment for every field of an object, each with the rule that set it."),
    ("hold", "A person must judge the object before it goes to anyone."),
    ("window", "The moments at which objects of one sensitivity leave, together."),
    ("rendition", "The exact bytes of one object version for one audience."),
    ("release", "What one transaction makes available to one audience."),
    ("holding", "All that your company may read now."),
    ("circle", "A named group of at least three members."),
    ("bundle", "Renditions packed for an audience, signed by the exchange."),
    ("ledger", "The tamper-evident log of releases. Each entry can be proved offline."),
)
OUTCOMES = (
    ("accepted", "It leaves in its window, as far as the verdict lets it pass."),
    ("incomplete", "It states no threat basis. It leaves when you have added one."),
    ("held", "It leaves when the approvers have released it."),
    ("withheld", "Nothing of it may pass under this floor."),
    ("refused", "It breaks a form or carries a secret. Its bytes are not kept."),
)
KEYS = (
    ("j", "next row"),
    ("k", "row before"),
    ("x", "mark the row"),
    ("Enter", "open the row"),
    ("a", "approve, in the queue of holds: then write the reason"),
    ("r", "refuse, in the queue of holds"),
    ("b", "ask back, in the queue of holds"),
    ("?", "this page"),
)
CODES = (
    ("not-found", "It does not exist, or it is not for you: the answer is the same."),
    ("forbidden", "Your role may not do this."),
    ("circle.too-small", "A circle carries nothing before it has three members."),
    ("floor.none", "The forum has no floor in force, so nothing can be decided."),
    ("reason.missing", "Write down the reason, in a few words at least."),
    ("approve.own", "Who contributed an object cannot approve its hold."),
    ("approve.twice", "Your approval is recorded already; another person's is missing."),
    ("hold.act", "A hold is released, refused or asked back."),
    ("hold.asked", "The hold waits for its contributor's answer."),
    ("hold.decided", "Somebody decided the hold before you."),
    ("hold.not-asked", "Nobody waits for an answer about this hold."),
    ("hold.replaced", "The object was withdrawn, or a newer version took its place."),
    ("batch.changed", "There are more or fewer of these holds than you confirmed."),
    ("reason.long", "A written reason has at most 2,000 characters."),
    ("original.unknown", "Nothing was released under this id."),
    ("original.closed", "The original is not open: it needs both officers, for a day."),
    ("object.issued-here", "The exchange issued the object. Send a sighting of it instead."),
    ("object.recalled", "The object was recalled. Lift the recall before you send it again."),
    ("version.other-content", "The same id and version came before with other content."),
)
