"""Files that are taken in parts, and column mappings that are remembered."""

import uuid
from pathlib import Path

import django.contrib.postgres.fields
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

SQL = (Path(__file__).parent / "sql" / "files.sql").read_text(encoding="utf-8")


class Migration(migrations.Migration):
    """Files that are taken in parts, and column mappings that are remembered."""

    dependencies = [
        ("exchange", "0015_intake"),
        ("indicators", "0002_attributed"),
        ("members", "0006_owner"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='File',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('kind', models.TextField(choices=[('stix', 'Stix'), ('misp', 'Misp'), ('table', 'Table')])),
                ('sealed_name', models.BinaryField()),
                ('sealed_mapping', models.BinaryField(null=True)),
                ('default_basis', django.contrib.postgres.fields.ArrayField(base_field=models.TextField(), default=list, size=None)),
                ('attributed', models.BooleanField(default=False)),
                ('state', models.TextField(choices=[('chosen', 'Chosen'), ('waiting', 'Waiting'), ('reading', 'Reading'), ('taking', 'Taking'), ('taken', 'Taken'), ('refused', 'Refused')], default='chosen')),
                ('octets', models.BigIntegerField()),
                ('converted', models.BigIntegerField(null=True)),
                ('received_at', models.DateTimeField()),
                ('sent_at', models.DateTimeField(null=True)),
                ('moved_at', models.DateTimeField()),
                ('ended_at', models.DateTimeField(null=True)),
                ('tries', models.IntegerField(default=0)),
                ('read', models.BigIntegerField(default=0)),
                ('total', models.IntegerField(default=0)),
                ('faulty', models.IntegerField(default=0)),
                ('successes', models.IntegerField(default=0)),
                ('failures', models.IntegerField(default=0)),
                ('code', models.TextField(default='')),
                ('sentence', models.TextField(default='')),
                ('place', models.TextField(default='')),
                ('circle', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='members.circle')),
                ('credential', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='members.credential')),
                ('member', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='members.member')),
                ('user', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
        ),
        migrations.CreateModel(
            name='FileFault',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('place', models.IntegerField()),
                ('sealed', models.BinaryField()),
                ('file', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='faults', to='exchange.file')),
                ('member', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='members.member')),
            ],
        ),
        migrations.CreateModel(
            name='FilePart',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('number', models.IntegerField()),
                ('after', models.IntegerField(null=True)),
                ('places', django.contrib.postgres.fields.ArrayField(base_field=models.IntegerField(), size=None)),
                ('own', models.IntegerField()),
                ('offsets', django.contrib.postgres.fields.ArrayField(base_field=models.BigIntegerField(), size=None)),
                ('lengths', django.contrib.postgres.fields.ArrayField(base_field=models.IntegerField(), size=None)),
                ('taken_at', models.DateTimeField(null=True)),
                ('tries', models.IntegerField(default=0)),
                ('sentence', models.TextField(default='')),
                ('contribution', models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='indicators.contribution')),
                ('file', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='parts', to='exchange.file')),
                ('member', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='members.member')),
            ],
        ),
        migrations.CreateModel(
            name='ColumnMapping',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('shape', models.BinaryField()),
                ('sealed', models.BinaryField()),
                ('made_at', models.DateTimeField()),
                ('used_at', models.DateTimeField()),
                ('member', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='members.member')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('member', 'shape'), name='mapping_of_shape')],
            },
        ),
        migrations.AddIndex(
            model_name='file',
            index=models.Index(fields=['member', '-received_at'], name='file_of_member'),
        ),
        migrations.AddIndex(
            model_name='file',
            index=models.Index(condition=models.Q(('state__in', ['chosen', 'waiting', 'reading', 'taking'])), fields=['moved_at'], name='file_open'),
        ),
        migrations.AddConstraint(
            model_name='filefault',
            constraint=models.UniqueConstraint(fields=('file', 'place'), name='file_fault_once'),
        ),
        migrations.AddConstraint(
            model_name='filepart',
            constraint=models.UniqueConstraint(fields=('file', 'number'), name='file_part_once'),
        ),
        migrations.AddConstraint(
            model_name='filepart',
            constraint=models.UniqueConstraint(fields=('contribution',), name='file_part_of_contribution'),
        ),
        migrations.RunSQL(SQL, reverse_sql=migrations.RunSQL.noop),
    ]
