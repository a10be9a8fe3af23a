"""Rows by which renditions are found: what one is, and the values that stand in it."""

from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex, GistIndex
from django.db import models

from exchange.models.releases import Rendition


class NetworkField(models.TextField):  # type: ignore[type-arg] # not generic where it runs
    """An address or range, compared by what it holds."""

    def db_type(self, connection: Any) -> str:  # noqa: ANN401 - Django's signature
        """PostgreSQL's own type."""
        return "inet"


class SearchEntry(models.Model):
    """What a rendition says of itself; written in the transaction that makes the rendition."""

    rendition = models.OneToOneField(
        Rendition,
        on_delete=models.CASCADE,
        primary_key=True,
        related_name="search_entry",
        db_constraint=False,
    )
    stix_type = models.TextField()
    kind = models.TextField(default="")
    phases = ArrayField(models.TextField(), default=list)
    words = ArrayField(models.TextField(), default=list)
    confidence = models.SmallIntegerField(null=True)
    valid_from = models.DateTimeField(null=True)
    valid_until = models.DateTimeField(null=True)

    class Meta:
        """Found by the words of names."""

        indexes = [GinIndex(fields=["words"], name="search_by_word")]


class SearchValue(models.Model):
    """One value of a rendition: the digest of its one spelling, and its range if it has one."""

    id = models.BigAutoField(primary_key=True)
    rendition = models.ForeignKey(
        Rendition, on_delete=models.CASCADE, related_name="+", db_constraint=False
    )
    digest = models.BinaryField()
    network = NetworkField(null=True)

    class Meta:
        """Found by value, and by an address that a range holds."""

        indexes = [
            models.Index(fields=["digest"], name="search_by_value"),
            GistIndex(
                fields=["network"],
                opclasses=["inet_ops"],
                condition=models.Q(network__isnull=False),
                name="search_by_network",
            ),
        ]
