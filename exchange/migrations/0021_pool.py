"""Extracts and their keys."""

import uuid
from pathlib import Path

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

SQL = (Path(__file__).parent / "sql" / "pool.sql").read_text(encoding="utf-8")


class Migration(migrations.Migration):
    """Extracts and their keys."""

    dependencies = [
        ("exchange", "0020_retention"),
        ("members", "0007_extracts"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]
    operations = [
        migrations.AddField(
            model_name='tokenday',
            name='extract_refused',
            field=models.IntegerField(default=0),
        ),
        migrations.AddField(
            model_name='tokenday',
            name='extracted',
            field=models.IntegerField(default=0),
        ),
        migrations.CreateModel(
            name='Extract',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('state', models.TextField(choices=[('taken', 'Taken'), ('replaced', 'Replaced'), ('refused', 'Refused'), ('erased', 'Erased')])),
                ('day', models.DateField(null=True)),
                ('digest', models.BinaryField()),
                ('clusters', models.BinaryField()),
                ('octets', models.IntegerField()),
                ('received_at', models.DateTimeField()),
                ('ended_at', models.DateTimeField(null=True)),
                ('code', models.TextField(default='')),
                ('sentence', models.TextField(default='')),
                ('place', models.TextField(default='')),
                ('credential', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='members.credential')),
                ('member', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='members.member')),
            ],
        ),
        migrations.CreateModel(
            name='ExtractKey',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('day', models.DateField()),
                ('wrapped', models.BinaryField()),
                ('member', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='members.member')),
            ],
        ),
        migrations.CreateModel(
            name='ExtractTry',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('day', models.DateField()),
                ('tried', models.IntegerField(default=0)),
                ('refused', models.IntegerField(default=0)),
                ('member', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='members.member')),
            ],
        ),
        migrations.CreateModel(
            name='ExtractView',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('state', models.TextField(choices=[('asked', 'Asked'), ('made', 'Made'), ('failed', 'Failed')], default='asked')),
                ('asked_at', models.DateTimeField()),
                ('made_at', models.DateTimeField(null=True)),
                ('sealed', models.BinaryField(default=b'')),
                ('key', models.BinaryField(default=b'')),
                ('extract', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='exchange.extract')),
                ('member', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='members.member')),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
        ),
        migrations.CreateModel(
            name='SealedExtract',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('day', models.DateField()),
                ('sealed', models.BinaryField()),
                ('extract', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='exchange.extract')),
                ('member', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='members.member')),
            ],
        ),
        migrations.AddIndex(
            model_name='extract',
            index=models.Index(fields=['member', '-received_at'], name='extract_newest'),
        ),
        migrations.AddIndex(
            model_name='extract',
            index=models.Index(fields=['clusters'], name='extract_of_a_file'),
        ),
        migrations.AddConstraint(
            model_name='extract',
            constraint=models.UniqueConstraint(condition=models.Q(('state', 'taken')), fields=('member', 'day'), name='extract_one_a_day'),
        ),
        migrations.AddConstraint(
            model_name='extract',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ['taken', 'replaced', 'refused', 'erased'])), name='extract_state'),
        ),
        migrations.AddConstraint(
            model_name='extract',
            constraint=models.CheckConstraint(condition=models.Q(('state', 'refused'), ('day__isnull', False), _connector='OR'), name='extract_of_a_day'),
        ),
        migrations.AddConstraint(
            model_name='extractkey',
            constraint=models.UniqueConstraint(fields=('member', 'day'), name='extract_key_once'),
        ),
        migrations.AddConstraint(
            model_name='extracttry',
            constraint=models.UniqueConstraint(fields=('member', 'day'), name='extract_try_once'),
        ),
        migrations.AddIndex(
            model_name='extractview',
            index=models.Index(condition=models.Q(('state', 'asked')), fields=['asked_at'], name='extract_view_to_do'),
        ),
        migrations.AddConstraint(
            model_name='sealedextract',
            constraint=models.UniqueConstraint(fields=('member', 'day'), name='sealed_extract_once'),
        ),
        migrations.RunSQL(SQL, reverse_sql=migrations.RunSQL.noop),
    ]
