import json
import sys
from typing import TypeVar
from urllib.parse import parse_qs, urlsplit

from docket_client import AuthenticatedClient, Client
from docket_client.api.accounts import activate_account, list_people, log_in, sign_up
from docket_client.api.assignments import change_assignment, create_assignment, follow_assignments, list_assignments
from docket_client.api.reports import report_throughput
from docket_client.models import (
    Activation,
    AssignmentCreate,
    AssignmentPatch,
    BucketSize,
    Login,
    Problem,
    SignUp,
    Status,
)


Data = TypeVar("Data")


def unwrap(parsed: Data | Problem | None) -> Data:
    """Returns the data of a response. Raises an error if it is a problem."""
    if parsed is None or isinstance(parsed, Problem):
        raise RuntimeError(parsed)
    return parsed


def cursor_in(url: str | None) -> str:
    """Returns the cursor in the URL of another page."""
    return parse_qs(urlsplit(url or "").query)["cursor"][0]


def tell_story(base_url: str, email: str) -> dict[str, object]:
    guest = Client(base_url)
    password = "four words of mine"
    unwrap(sign_up.sync(client=guest, body=SignUp("Ada", "Lovelace", email, password)))
    unwrap(activate_account.sync(client=guest, body=Activation(code=input())))
    login = unwrap(log_in.sync(client=guest, body=Login(email, password)))

    docket = AuthenticatedClient(base_url, login.token)
    created = unwrap(create_assignment.sync(client=docket, body=AssignmentCreate("Write the report")))
    other = AssignmentCreate("Send the report", status=Status.IN_PROGRESS)
    unwrap(create_assignment.sync(client=docket, body=other))

    status = [Status.TODO, Status.IN_PROGRESS]
    first = unwrap(list_assignments.sync(client=docket, status=status, limit=1))
    cursor = cursor_in(first.next_)
    second = unwrap(list_assignments.sync(client=docket, status=status, limit=1, cursor=cursor))

    assignees = [assignment.assignee for assignment in first.results]
    people = unwrap(list_people.sync(client=docket, id=assignees))
    names = [f"{person.first_name} {person.last_name}" for person in people.results]

    now = unwrap(follow_assignments.sync(client=docket))

    done = AssignmentPatch(status=Status.DONE)
    unwrap(change_assignment.sync(created.id, client=docket, body=done, if_match='"1"'))
    conflict = change_assignment.sync(created.id, client=docket, body=done, if_match='"1"')
    if not isinstance(conflict, Problem) or conflict.status != 412:
        raise RuntimeError("The assignment was changed twice")
    print(conflict.code, conflict.detail)

    report = unwrap(report_throughput.sync(client=docket, bucket=BucketSize.WEEK))
    events = unwrap(follow_assignments.sync(client=docket, cursor=cursor_in(now.next_)))
    event = events.results[0]

    return {
        "names": names,
        "pages": [[assignment.name for assignment in page.results] for page in (first, second)],
        "conflict": [conflict.status, conflict.code],
        "done": sum(week.done for week in report.results),
        "event": [event.kind, event.status, event.version],
    }


print(json.dumps(tell_story(*sys.argv[1:])))
