"""Addresses of the REST API, and those that need no credential."""

from django.urls import URLPattern, URLResolver, path, re_path

from exchange.api import (
    algorithms,
    columns,
    extracts,
    files,
    ledger,
    recalls,
    search,
    tokens,
    views,
)

urlpatterns: list[URLPattern | URLResolver] = [
    path("contributions/", views.Contributions.as_view(), name="api-contributions"),
    path(
        "contributions/<uuid:contribution_id>/",
        views.Contribution.as_view(),
        name="api-contribution",
    ),
    path("algorithms/", algorithms.Algorithms.as_view(), name="api-algorithms"),
    path("columns/", columns.Columns.as_view(), name="api-columns"),
    path("extracts/", extracts.Extracts.as_view(), name="api-extracts"),
    path("files/", files.Files.as_view(), name="api-files"),
    path("files/<uuid:file_id>/", files.File.as_view(), name="api-file"),
    path("files/<uuid:file_id>/report/", files.Report.as_view(), name="api-file-report"),
    path("files/<uuid:file_id>/report.csv", files.ReportTable.as_view(), name="api-file-table"),
    path("objects/<str:stix_id>/", views.HeldObject.as_view(), name="api-object"),
    path("objects/<str:stix_id>/feedback/", recalls.ObjectFeedback.as_view(), name="api-say"),
    path("feedback/", recalls.Feedback.as_view(), name="api-feedback"),
    path("feedback/tasks/", recalls.Tasks.as_view(), name="api-feedback-tasks"),
    path(
        "feedback/tasks/<uuid:task_id>/", recalls.TaskAnswer.as_view(), name="api-feedback-answer"
    ),
    path("recalls/", recalls.Recalls.as_view(), name="api-recalls"),
    path("recalls/received/", recalls.Received.as_view(), name="api-recalls-received"),
    path(
        "recalls/received/<uuid:release_id>/",
        recalls.Acknowledgement.as_view(),
        name="api-acknowledge",
    ),
    path("recalls/<uuid:recall_id>/", recalls.Recall.as_view(), name="api-recall"),
    path("search/", search.Search.as_view(), name="api-search"),
    path("lookups/", search.Lookups.as_view(), name="api-lookups"),
    path("openapi.yaml", views.description, name="api-description"),
    path("tokens/", tokens.Tokens.as_view(), name="api-tokens"),
    re_path(r"", views.nowhere, name="api-nowhere"),
]
# The log (members only) and the JWKS stand beside /api/.
public_urls: list[URLPattern | URLResolver] = [*ledger.urlpatterns]
