"""TAXII 2.1 addresses; a path without its last slash is answered, never redirected."""

from django.urls import re_path

from exchange.taxii import views

_COLLECTION = r"^forum/collections/(?P<collection>[^/]+)"
_OBJECT = rf"{_COLLECTION}/objects/(?P<object_id>[^/]+)"

urlpatterns = [
    re_path(r"^$", views.Discovery.as_view(), name="taxii-discovery"),
    re_path(r"^forum/?$", views.ApiRoot.as_view(), name="taxii-root"),
    re_path(r"^forum/status/(?P<status_id>[^/]+)/?$", views.Status.as_view(), name="taxii-status"),
    re_path(r"^forum/collections/?$", views.Collections.as_view(), name="taxii-collections"),
    re_path(rf"{_COLLECTION}/?$", views.Collection.as_view(), name="taxii-collection"),
    re_path(rf"{_COLLECTION}/manifest/?$", views.Manifest.as_view(), name="taxii-manifest"),
    re_path(rf"{_COLLECTION}/objects/?$", views.Objects.as_view(), name="taxii-objects"),
    re_path(rf"{_OBJECT}/?$", views.Object.as_view(), name="taxii-object"),
    re_path(rf"{_OBJECT}/versions/?$", views.Versions.as_view(), name="taxii-versions"),
    re_path(r"", views.Nowhere.as_view(), name="taxii-nowhere"),
]
