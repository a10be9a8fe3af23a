"""Previews of draft policies, and who may read them."""

from pathlib import Path

import django.contrib.postgres.fields
import django.db.models.deletion
import uuid
from django.conf import settings
from django.db import migrations, models

SQL = (Path(__file__).parent / "sql" / "previews.sql").read_text(encoding="utf-8")


class Migration(migrations.Migration):
    """What a preview is made of."""

    dependencies = [
        ("exchange", "0006_tokens"),
        ("members", "0004_roles_apart"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Preview',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('kind', models.TextField(choices=[('floor', 'Floor'), ('member', 'Member')])),
                ('document', models.JSONField()),
                ('digest', models.BinaryField()),
                ('against', models.JSONField()),
                ('against_digest', models.BinaryField()),
                ('is_against_force', models.BooleanField()),
                ('since', models.DateTimeField()),
                ('until', models.DateTimeField()),
                ('state', models.TextField(choices=[('waiting', 'Waiting'), ('running', 'Running'), ('finished', 'Finished'), ('cancelled', 'Cancelled'), ('failed', 'Failed')], default='waiting')),
                ('created_at', models.DateTimeField()),
                ('started_at', models.DateTimeField(null=True)),
                ('finished_at', models.DateTimeField(null=True)),
                ('moved_at', models.DateTimeField()),
                ('expected_seconds', models.IntegerField()),
                ('total', models.IntegerField(default=0)),
                ('done', models.IntegerField(default=0)),
                ('shown', models.IntegerField(default=0)),
                ('hidden', models.IntegerField(default=0)),
                ('counts', models.JSONField(default=list)),
                ('member', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='members.member')),
                ('user', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
        ),
        migrations.CreateModel(
            name='PreviewAudience',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('key', models.BigIntegerField()),
                ('recipients', django.contrib.postgres.fields.ArrayField(base_field=models.UUIDField(), size=None)),
                ('circle', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='members.circle')),
                ('member', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='members.member')),
                ('preview', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='audiences', to='exchange.preview')),
            ],
        ),
        migrations.CreateModel(
            name='PreviewLine',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('object_id', models.UUIDField()),
                ('stix_type', models.TextField()),
                ('way', models.TextField()),
                ('path', models.TextField()),
                ('field_class', models.TextField()),
                ('before', models.TextField()),
                ('after', models.TextField()),
                ('rule_before', models.TextField()),
                ('rule_after', models.TextField()),
                ('audiences', django.contrib.postgres.fields.ArrayField(base_field=models.BigIntegerField(), size=None)),
                ('classes', django.contrib.postgres.fields.ArrayField(base_field=models.TextField(), default=list, size=None)),
                ('member', models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='members.member')),
                ('outcome', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='exchange.outcome')),
                ('preview', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='lines', to='exchange.preview')),
            ],
        ),
        migrations.CreateModel(
            name='PreviewPart',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('contributions', django.contrib.postgres.fields.ArrayField(base_field=models.UUIDField(), size=None)),
                ('tries', models.IntegerField(default=0)),
                ('done_at', models.DateTimeField(null=True)),
                ('counts', models.JSONField(default=list)),
                ('member', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='members.member')),
                ('preview', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='parts', to='exchange.preview')),
            ],
        ),
        migrations.AddIndex(
            model_name='preview',
            index=models.Index(fields=['digest', '-finished_at'], name='preview_of_document'),
        ),
        migrations.AddConstraint(
            model_name='preview',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('kind', 'floor'), ('member__isnull', True)), models.Q(('kind', 'member'), ('member__isnull', False)), _connector='OR'), name='preview_of_whom'),
        ),
        migrations.AddConstraint(
            model_name='previewaudience',
            constraint=models.UniqueConstraint(fields=('preview', 'key'), name='preview_audience_once'),
        ),
        migrations.AddIndex(
            model_name='previewline',
            index=models.Index(fields=['preview', 'way', 'id'], name='preview_lines'),
        ),
        migrations.AddIndex(
            model_name='previewpart',
            index=models.Index(condition=models.Q(('done_at__isnull', True)), fields=['preview'], name='preview_part_open'),
        ),
        migrations.RunSQL(SQL, reverse_sql=migrations.RunSQL.noop),
    ]
