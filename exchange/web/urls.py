"""The pages."""

from django.urls import path

from exchange.web import (
    account,
    analyst,
    compliance,
    contributing,
    counsel,
    home,
    operator,
    replay,
    tokens,
)
from exchange.web import statistics as lane

app_name = "web"
urlpatterns = [
    path("", home.home, name="home"),
    path("sign-in/", account.sign_in, name="sign-in"),
    path("sign-in/<str:secret>/", account.sign_in_link, name="sign-in-link"),
    path("sign-out/", account.sign_out, name="sign-out"),
    path("help/", account.help_page, name="help"),
    path("campaigns/", analyst.campaigns, name="campaigns"),
    path("campaigns/<str:stix_id>/", analyst.campaign, name="campaign"),
    path("campaigns/<str:stix_id>/bundle/", analyst.campaign_bundle, name="campaign-bundle"),
    path("objects/<str:stix_id>/", analyst.held_object, name="object"),
    path("contribute/values/", contributing.values, name="contribute-values"),
    path("contribute/file/", contributing.file, name="contribute-file"),
    path("contributions/", contributing.contributions, name="contributions"),
    path("contributions/<uuid:contribution_id>/", contributing.contribution, name="contribution"),
    path("mine/<int:version_id>/", compliance.own_object, name="own-object"),
    path("holds/", counsel.holds, name="holds"),
    path("holds/all/", counsel.batch, name="holds-all"),
    path("holds/<uuid:hold_id>/", counsel.hold, name="hold"),
    path("holds/<uuid:hold_id>/answer/", counsel.answer, name="hold-answer"),
    path("entries/", compliance.ledger_list, name="ledger"),
    path("entries/<int:index>/opening/", compliance.opening, name="opening"),
    path("entries/<int:index>/proof/", compliance.proof, name="proof"),
    path("policy/", compliance.policy, name="policy"),
    path("statistics/", lane.statistics, name="statistics"),
    path("previews/", replay.previews, name="previews"),
    path("previews/<uuid:preview_id>/", replay.preview, name="preview"),
    path("previews/<uuid:preview_id>/cancel/", replay.cancel, name="preview-cancel"),
    path("previews/<uuid:preview_id>/lines/<int:line_id>/", replay.line, name="preview-line"),
    path("settings/", account.settings_page, name="settings"),
    path("people/", account.people, name="people"),
    path("subscriptions/", account.subscriptions, name="subscriptions"),
    path("subscriptions/<uuid:subscription_id>/", account.subscription, name="subscription"),
    path("credentials/", account.credentials, name="credentials"),
    path("credentials/<uuid:credential_id>/revoke/", account.revoke, name="credential-revoke"),
    path("tokens/", tokens.use, name="tokens"),
    path("tokens/command/", tokens.command, name="token-command"),
    path("health/", operator.health, name="health"),
]
