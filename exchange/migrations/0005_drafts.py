"""Drafts of policies, and versions that stay as they are."""

import uuid
from pathlib import Path

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

SQL = (Path(__file__).parent / "sql" / "drafts.sql").read_text(encoding="utf-8")


class Migration(migrations.Migration):
    dependencies = [
        ("exchange", "0004_reasons"),
        ("members", "0004_roles_apart"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='PolicyDraft',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('kind', models.TextField(choices=[('floor', 'Floor'), ('member', 'Member')])),
                ('source', models.TextField()),
                ('document', models.JSONField()),
                ('digest', models.BinaryField()),
                ('state', models.TextField(choices=[('draft', 'Draft'), ('submitted', 'Submitted'), ('approved', 'Approved'), ('active', 'Active'), ('discarded', 'Discarded')], default='draft')),
                ('note', models.TextField(default='')),
                ('answer', models.TextField(default='')),
                ('against', models.BinaryField(null=True)),
                ('reach', models.TextField(default='forward')),
                ('starts_at', models.DateTimeField(null=True)),
                ('created_at', models.DateTimeField()),
                ('changed_at', models.DateTimeField()),
            ],
        ),
        migrations.RemoveIndex(
            model_name='memberpolicyversion',
            name='policy_of_member',
        ),
        migrations.AddField(
            model_name='floorpolicy',
            name='note',
            field=models.TextField(default=''),
        ),
        migrations.AddField(
            model_name='floorpolicy',
            name='source',
            field=models.TextField(default=''),
        ),
        migrations.AddField(
            model_name='memberpolicyversion',
            name='note',
            field=models.TextField(default=''),
        ),
        migrations.AddField(
            model_name='memberpolicyversion',
            name='source',
            field=models.TextField(default=''),
        ),
        migrations.AddIndex(
            model_name='memberpolicyversion',
            index=models.Index(fields=['member', '-id'], name='policy_of_member'),
        ),
        migrations.AddField(
            model_name='policydraft',
            name='approved_by',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='policydraft',
            name='author',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='policydraft',
            name='member',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='members.member'),
        ),
        migrations.AddIndex(
            model_name='policydraft',
            index=models.Index(condition=models.Q(('state', 'approved')), fields=['starts_at'], name='draft_due'),
        ),
        migrations.AddIndex(
            model_name='policydraft',
            index=models.Index(fields=['member', '-changed_at'], name='draft_of_member'),
        ),
        migrations.AddConstraint(
            model_name='policydraft',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('kind', 'floor'), ('member__isnull', True)), models.Q(('kind', 'member'), ('member__isnull', False)), _connector='OR'), name='draft_of_whom'),
        ),
        migrations.RunSQL(SQL, migrations.RunSQL.noop),
    ]
