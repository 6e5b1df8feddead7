"""The errors that a request may get although it matches the OpenAPI document: rules that no schema can express.

Every other one fails the run. docs/api.md explains the rules to users.
"""

import schemathesis
from schemathesis.openapi.checks import RejectedPositiveData, UseAfterFree

# Cursors and codes are valid only where the API has issued them.
CURSOR = {"invalid_cursor"}
CODE = {"invalid_code"}
# The verdict depends on the account and on a list of common passwords.
PASSWORD = {"weak_password"}
# Patterns do not know which characters are invisible.
NAMES = {"/first_name: Must have a visible character", "/last_name: Must have a visible character"}
ADDRESS = {"/email: Must have a visible character"}
# The assignee needs an account.
ASSIGNMENT = {"/name: Must have a visible character", "/assignee: No account has this id or address"}
# A precondition depends on the current version.
PRECONDITION = {"precondition_failed"}
# `as_of` depends on the clock.
AS_OF = {"/as_of: Must not be in the future"}
# A pattern would have to list every order of the fields, and every way to write a phrase.
LIST = {"/ordering: Must not repeat a field", "/search: Must be at most 10 terms"}
# The zones are those of the runtime. The other rules combine several parameters, or bound a time.
REPORT = {
    "/timezone: Must be the IANA name of a time zone",
    "/from: Must be in the years 1970 to 9998",
    "/to: Must be in the years 1970 to 9998",
    "/from: Must be before `to`",
    "/bucket: Must not make more than 1,000 buckets",
}

# By operation: codes of problems, and errors of an `invalid_request`.
RULES = {
    "POST /accounts/signup/": NAMES | PASSWORD,
    "POST /accounts/activate-account/": CODE,
    "POST /accounts/login/": ADDRESS,
    "POST /accounts/change/": NAMES,
    "POST /accounts/password-change/": PASSWORD | {"wrong_password"},
    "POST /accounts/password-reset/": ADDRESS,
    "POST /accounts/password-reset/verify/": CODE | PASSWORD,
    "POST /accounts/email-change/": {"wrong_password", "/email: Is your address already"},
    "POST /accounts/email-change/verify/": CODE,
    "POST /accounts/delete/": {"wrong_password"},
    "GET /accounts/people/": CURSOR | LIST,
    "GET /assignments/events/": CURSOR | {"cursor_expired"},
    "GET /assignments/": CURSOR | AS_OF | LIST,
    "POST /assignments/": ASSIGNMENT,
    "GET /assignments/{id}/": AS_OF,
    "PUT /assignments/{id}/": ASSIGNMENT | PRECONDITION,
    "PATCH /assignments/{id}/": ASSIGNMENT | PRECONDITION,
    "DELETE /assignments/{id}/": PRECONDITION,
    "GET /assignments/{id}/history/": CURSOR,
    "GET /assignments/reports/throughput/": REPORT,
    "GET /assignments/reports/flow/": REPORT,
}


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """Tells whether a failure of a check counts."""
    if isinstance(failure, UseAfterFree):
        return not reads_the_past(case)
    if isinstance(failure, RejectedPositiveData):
        return not reasons(response.json()) <= RULES.get(case.operation.label, set())
    return True


def reads_the_past(case):
    """Tells whether a request reads what outlives a deleted assignment."""
    return case.operation.label == "GET /assignments/{id}/history/" or "as_of" in (case.query or {})


def reasons(problem):
    if problem["code"] != "invalid_request":
        return {problem["code"]}
    return {f"{error['pointer']}: {error['message']}" for error in problem["errors"]}
