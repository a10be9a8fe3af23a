import uuid
from pathlib import Path

import django.contrib.postgres.fields
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

SQL = Path(__file__).with_name("sql")


class Migration(migrations.Migration):
    """Recalls, and the pages anew: what was taken back from some is served to who keeps it."""

    dependencies = [("exchange", "0008_statistics")]

    operations = [
        migrations.CreateModel(
            name='Affected',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('recipients', django.contrib.postgres.fields.ArrayField(base_field=models.UUIDField(), size=None)),
            ],
        ),
        migrations.CreateModel(
            name='Feedback',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('disposition', models.TextField()),
                ('at', models.DateTimeField()),
                ('answered_at', models.DateTimeField(null=True)),
                ('answer', models.TextField(default='')),
            ],
        ),
        migrations.CreateModel(
            name='Kept',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
            ],
        ),
        migrations.CreateModel(
            name='Preparation',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('digest', models.BinaryField()),
                ('against', models.BinaryField()),
                ('at', models.DateTimeField()),
                ('seen', models.BigIntegerField(default=0)),
                ('upto', models.BigIntegerField(default=0)),
                ('after', models.UUIDField(null=True)),
                ('total', models.IntegerField(default=0)),
                ('done', models.IntegerField(default=0)),
                ('ready_at', models.DateTimeField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name='Recall',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('reason', models.TextField(choices=[('leak', 'Leak'), ('error', 'Error'), ('false-positive', 'False Positive'), ('shared-infrastructure', 'Shared Infrastructure')])),
                ('sealed_note', models.BinaryField()),
                ('role', models.TextField()),
                ('erases', models.BooleanField(default=False)),
                ('at', models.DateTimeField()),
                ('told_at', models.DateTimeField(null=True)),
                ('erasure_recorded_at', models.DateTimeField(null=True)),
                ('lifted_at', models.DateTimeField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name='Reissue',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('cause', models.TextField(choices=[('policy', 'Policy'), ('reference', 'Reference')])),
                ('at', models.DateTimeField()),
                ('done_at', models.DateTimeField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name='Twin',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
            ],
        ),
        migrations.AddField(
            model_name='bundle',
            name='left_out',
            field=django.contrib.postgres.fields.ArrayField(base_field=models.IntegerField(), default=list, size=None),
        ),
        migrations.AddField(
            model_name='delivery',
            name='left_out',
            field=django.contrib.postgres.fields.ArrayField(base_field=models.IntegerField(), default=list, size=None),
        ),
        migrations.AddField(
            model_name='release',
            name='reason',
            field=models.TextField(default=''),
        ),
        migrations.AddField(
            model_name='releaserecipient',
            name='undoes_from',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='exchange.releaserecipient'),
        ),
        migrations.AddField(
            model_name='releaserecipient',
            name='undoes_to',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='exchange.releaserecipient'),
        ),
        migrations.AddField(
            model_name='rendition',
            name='takes_back',
            field=models.BooleanField(default=False),
        ),
        migrations.AlterField(
            model_name='bundle',
            name='release',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='bundles', to='exchange.release'),
        ),
        migrations.AddConstraint(
            model_name='bundle',
            constraint=models.UniqueConstraint(fields=('release', 'left_out'), name='bundle_once'),
        ),
        migrations.AddField(
            model_name='affected',
            name='item',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='exchange.releaseitem'),
        ),
        migrations.AddField(
            model_name='feedback',
            name='answered_by',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='feedback',
            name='circle',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='members.circle'),
        ),
        migrations.AddField(
            model_name='feedback',
            name='member',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='members.member'),
        ),
        migrations.AddField(
            model_name='feedback',
            name='object',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='feedback', to='indicators.forumobject'),
        ),
        migrations.AddField(
            model_name='feedback',
            name='version',
            field=models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, related_name='feedback', to='indicators.version'),
        ),
        migrations.AddField(
            model_name='kept',
            name='item',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='kept', to='exchange.releaseitem'),
        ),
        migrations.AddField(
            model_name='kept',
            name='recipient',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='members.member'),
        ),
        migrations.AddField(
            model_name='preparation',
            name='draft',
            field=models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, related_name='preparation', to='exchange.policydraft'),
        ),
        migrations.AddField(
            model_name='affected',
            name='preparation',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='affected', to='exchange.preparation'),
        ),
        migrations.AddField(
            model_name='recall',
            name='member',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='members.member'),
        ),
        migrations.AddField(
            model_name='recall',
            name='object',
            field=models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, related_name='recall', to='indicators.forumobject'),
        ),
        migrations.AddField(
            model_name='recall',
            name='user',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='release',
            name='recall',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='releases', to='exchange.recall'),
        ),
        migrations.AddField(
            model_name='reissue',
            name='member',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='members.member'),
        ),
        migrations.AddField(
            model_name='reissue',
            name='outcome',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='reissues', to='exchange.outcome'),
        ),
        migrations.AddField(
            model_name='twin',
            name='outcome',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='exchange.outcome'),
        ),
        migrations.AddField(
            model_name='twin',
            name='release',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='twins', to='exchange.release'),
        ),
        migrations.AddField(
            model_name='twin',
            name='rendition',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='twins', to='exchange.rendition'),
        ),
        migrations.AddIndex(
            model_name='feedback',
            index=models.Index(condition=models.Q(('answered_at__isnull', True)), fields=['member', 'at'], name='feedback_open'),
        ),
        migrations.AddConstraint(
            model_name='kept',
            constraint=models.UniqueConstraint(fields=('item', 'recipient'), name='kept_once'),
        ),
        migrations.AddConstraint(
            model_name='affected',
            constraint=models.UniqueConstraint(fields=('preparation', 'item'), name='affected_once'),
        ),
        migrations.AddIndex(
            model_name='recall',
            index=models.Index(fields=['member', '-at'], name='recall_of_member'),
        ),
        migrations.AddIndex(
            model_name='recall',
            index=models.Index(condition=models.Q(('told_at__isnull', True)), fields=['at'], name='recall_to_tell'),
        ),
        migrations.AddConstraint(
            model_name='reissue',
            constraint=models.UniqueConstraint(condition=models.Q(('done_at__isnull', True)), fields=('outcome',), name='reissue_once'),
        ),
        migrations.AddConstraint(
            model_name='twin',
            constraint=models.UniqueConstraint(fields=('release', 'rendition'), name='twin_once'),
        ),
        migrations.RunSQL((SQL / "page.sql").read_text(encoding="utf-8"), migrations.RunSQL.noop),
        migrations.RunSQL((SQL / "recalls.sql").read_text(encoding="utf-8"), migrations.RunSQL.noop),
    ]
