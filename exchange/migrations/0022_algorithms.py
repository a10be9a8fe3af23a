"""Algorithms and their review."""

import uuid
from pathlib import Path

import django.contrib.postgres.fields
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

SQL = (Path(__file__).parent / "sql" / "algorithms.sql").read_text(encoding="utf-8")


class Migration(migrations.Migration):
    """Algorithms and their review."""

    dependencies = [
        ("exchange", "0021_pool"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]
    operations = [
        migrations.CreateModel(
            name='Algorithm',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('document_id', models.UUIDField()),
                ('version', models.IntegerField()),
                ('kind', models.TextField()),
                ('detector', models.TextField(default='')),
                ('runs_on', models.TextField()),
                ('title', models.TextField()),
                ('look_alikes', django.contrib.postgres.fields.ArrayField(base_field=models.TextField(), default=list, size=None)),
                ('base_rate', models.TextField(default='')),
                ('digest', models.BinaryField()),
                ('until', models.DateField(null=True)),
                ('valid_days', models.SmallIntegerField()),
                ('valid_until', models.DateField(null=True)),
                ('state', models.TextField(choices=[('draft', 'Draft'), ('submitted', 'Submitted'), ('approved', 'Approved'), ('reviewed', 'Reviewed'), ('active', 'Active'), ('suspended', 'Suspended'), ('withdrawn', 'Withdrawn'), ('replaced', 'Replaced'), ('discarded', 'Discarded')], default='draft')),
                ('trouble', models.TextField(default='')),
                ('created_at', models.DateTimeField()),
                ('changed_at', models.DateTimeField()),
                ('activated_at', models.DateTimeField(null=True)),
                ('ended_at', models.DateTimeField(null=True)),
                ('activated_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('approved_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('author', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('member', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='members.member')),
                ('reviewed_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
        ),
        migrations.CreateModel(
            name='AlgorithmAct',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('role', models.TextField()),
                ('act', models.TextField()),
                ('sealed', models.BinaryField(default=b'')),
                ('at', models.DateTimeField()),
                ('algorithm', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='acts', to='exchange.algorithm')),
                ('member', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='members.member')),
                ('user', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
        ),
        migrations.CreateModel(
            name='DryRun',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('document_id', models.UUIDField()),
                ('digest', models.BinaryField()),
                ('day', models.DateField()),
                ('state', models.TextField(choices=[('waiting', 'Waiting'), ('done', 'Done'), ('failed', 'Failed')], default='waiting')),
                ('rows_bucket', models.TextField(default='')),
                ('members_bucket', models.TextField(default='')),
                ('look_alikes_hit', models.TextField(default='')),
                ('trouble', models.TextField(default='')),
                ('asked_at', models.DateTimeField()),
                ('answered_at', models.DateTimeField(null=True)),
                ('algorithm', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='dry_runs', to='exchange.algorithm')),
                ('member', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='members.member')),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
        ),
        migrations.CreateModel(
            name='AlgorithmText',
            fields=[
                ('algorithm', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, primary_key=True, related_name='text', serialize=False, to='exchange.algorithm')),
                ('sealed', models.BinaryField()),
                ('sealed_tests', models.BinaryField(default=b'')),
                ('given', models.BinaryField(default=b'')),
                ('member', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='members.member')),
            ],
        ),
        migrations.AddIndex(
            model_name='algorithm',
            index=models.Index(fields=['member', '-changed_at'], name='algorithm_of_member'),
        ),
        migrations.AddIndex(
            model_name='algorithm',
            index=models.Index(fields=['state', 'changed_at'], name='algorithm_queue'),
        ),
        migrations.AddConstraint(
            model_name='algorithm',
            constraint=models.CheckConstraint(condition=models.Q(('approved_by__isnull', True), models.Q(('approved_by', models.F('author')), _negated=True), _connector='OR'), name='algorithm_two_people'),
        ),
        migrations.AddConstraint(
            model_name='algorithm',
            constraint=models.UniqueConstraint(condition=models.Q(('state__in', ['active', 'suspended'])), fields=('document_id',), name='algorithm_in_force_once'),
        ),
        migrations.AddConstraint(
            model_name='algorithm',
            constraint=models.UniqueConstraint(condition=models.Q(('state__in', ['withdrawn', 'replaced', 'discarded']), _negated=True), fields=('member', 'document_id', 'version'), name='algorithm_version_once', nulls_distinct=False),
        ),
        migrations.AddIndex(
            model_name='dryrun',
            index=models.Index(condition=models.Q(('state', 'waiting')), fields=['asked_at'], name='dry_run_waiting'),
        ),
        migrations.AddIndex(
            model_name='dryrun',
            index=models.Index(fields=['document_id', 'day'], name='dry_run_of_day'),
        ),
        migrations.AddConstraint(
            model_name='dryrun',
            constraint=models.CheckConstraint(condition=models.Q(('members_bucket__in', ['', '0', '1', '2+'])), name='dry_run_members_bucket'),
        ),
        migrations.RunSQL(SQL, migrations.RunSQL.noop),
    ]
