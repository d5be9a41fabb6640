"""JSON that a hostile or careless hand has changed, for seeded fuzzing."""

import copy

NASTY = [None, True, -1, 0, 1e38, -3.4e38, 5e-324, 10**400, "", "<b>\x00", [], {}, [[]]]


def json_mutant(value, chance):
    """Return a JSON object of which some values are others, or missing."""
    value = copy.deepcopy(value)
    for _ in range(chance.randint(1, 3)):
        part = value
        while True:
            key = chance.choice(
                list(part) if isinstance(part, dict) else range(len(part))
            )
            inner = part[key]
            if not (isinstance(inner, dict | list) and inner and chance.random() < 0.8):
                break
            part = inner
        if chance.random() < 0.2:
            del part[key]
        else:
            part[key] = chance.choice(NASTY)
        if not value:
            return value
    return value
