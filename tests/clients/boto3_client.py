"""boto3 without any credential of AWS, behind the proxy: S3 and DynamoDB."""

import hashlib
import sys
import urllib.error
import urllib.request

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from steps import step

DUMMY = {"aws_access_key_id": "AKIDSANDBOX", "aws_secret_access_key": "nothing"}
S3, DYNAMO = sys.argv[1:3]


def client(service, endpoint):
    config = Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1})
    return boto3.client(
        service, region_name="eu-west-1", endpoint_url=endpoint, config=config, **DUMMY
    )


def refused(name, call):
    try:
        call()
        step(**{name: "was allowed"})
    except ClientError as error:
        step(**{name: error.response["ResponseMetadata"]["HTTPStatusCode"]})


def in_signed_chunks(url, pieces, spoiled=False):
    """What an older SDK sends; its own signatures are worth nothing."""
    signature = "0" * 64
    body = b""
    for piece in [*pieces, b""]:
        body += b"%x;chunk-signature=%s\r\n%s\r\n" % (len(piece), signature.encode(), piece)
    if spoiled:
        body = body.replace(b";chunk-signature=", b";chunk-sign=", 1)
    headers = {
        "x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        "x-amz-decoded-content-length": str(sum(map(len, pieces))),
        "content-encoding": "aws-chunked",
        "content-type": "application/octet-stream",
        "authorization": f"AWS4-HMAC-SHA256 Credential=AKIDSANDBOX, Signature={signature}",
    }
    request = urllib.request.Request(url, data=body, headers=headers, method="PUT")
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def main():
    s3 = client("s3", S3)
    big = b"0123456789abcdef" * 65536
    step(put=s3.put_object(Bucket="gate", Key="a/b c+d.txt", Body=b"hello")["ETag"])
    step(sums=[hashlib.sha256(each).hexdigest() for each in (b"hello", big)])
    step(get=s3.get_object(Bucket="gate", Key="a/b c+d.txt")["Body"].read().decode())
    s3.put_object(Bucket="gate", Key="big", Body=big, ChecksumAlgorithm="SHA256")
    step(list=s3.list_objects_v2(Bucket="gate", Prefix="x y/")["ResponseMetadata"]["HTTPStatusCode"])
    refused("other_bucket", lambda: s3.get_object(Bucket="other", Key="a"))

    step(chunked=in_signed_chunks(f"{S3}/gate/chunked", [big[:65536], big[65536:200000]]))
    step(spoiled=in_signed_chunks(f"{S3}/gate/spoiled", [b"abc"], spoiled=True))

    presigned = s3.generate_presigned_url("get_object", Params={"Bucket": "gate", "Key": "a"})
    try:
        urllib.request.urlopen(presigned)
        step(presigned="was allowed")
    except urllib.error.HTTPError as error:
        step(presigned=error.code, reason=error.headers["x-sallygate-code"])

    step(tables=client("dynamodb", DYNAMO).list_tables()["TableNames"])


main()
