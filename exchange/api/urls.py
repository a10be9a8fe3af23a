"""Addresses of the REST API, and those that need no credential."""

from django.urls import URLPattern, URLResolver

urlpatterns: list[URLPattern | URLResolver] = []
public_urls: list[URLPattern | URLResolver] = []
